"use strict";
(() => {
  const D = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const FIRST_ROWS = 100, HEAT_ROWS = 30, NAMED = 12, ALPHA = 0.05, NONE = "–";
  const GROUPS = { distilled: "distilled here", static: "other static", transformer: "transformer", lexical: "lexical" };
  const byId = new Map(D.models.map((model, row) => [model.id, row]));
  const types = [...new Set(D.tasks.map((task) => task.label))];
  const signed = (value) => (value >= 0 ? "+" : "−") + Math.abs(value).toFixed(2);
  const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 }).format;
  const words = (name) => D.titles[name];

  function element(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  // Settings: those in which the models differ

  const settingOf = {
    kind: (model) => GROUPS[model.group] ?? model.group,
    teacher: (model) => model.settings.base_model,
    dims: (model) => model.dims,
  };
  for (const name of new Set(D.models.flatMap((model) => Object.keys(model.settings))))
    if (name !== "base_model") settingOf[name] ??= (model) => model.settings[name];
  const value = (model, name) => settingOf[name](model) ?? null;
  const settings = Object.keys(settingOf).filter((name) => distinct(D.models, name).length > 1);
  function distinct(models, name) {
    const known = [...new Set(models.map((model) => value(model, name)))].filter((one) => one !== null);
    return known.sort((a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b))));
  }
  const numeric = settings.filter((name) => name !== "seed" && distinct(D.models, name).filter((one) => typeof one === "number").length > 1);

  // The view, which the address holds

  const COSTS = { speed: ["texts per second on one thread (log scale)", false], size: ["size on disk, MB (log scale)", true], dims: ["embedding dimensions", true] };
  const DEFAULTS = { sort: "rank", down: "", q: "", average: "micro", cover: "own", types: "", hide: "seed,corpus_revision,training.corpus_revision,weighting_revision,words_revision,parameters", tasks: "",
    only: "", pin: "", cost: D.timings.length ? "speed" : "size", timing: "0", color: settings.includes("weighting") ? "weighting" : "kind",
    along: numeric.includes("pca_dims") ? "pca_dims" : numeric[0] ?? "", base: "", one: "", two: "" };
  let view = read();
  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const state = { ...DEFAULTS, filters: {} };
    for (const [key, text] of given) {
      if (key in DEFAULTS) state[key] = text;
      else if (key.startsWith("f.") && key.slice(2) in settingOf) (state.filters[key.slice(2)] ??= []).push(text);
    }
    // a link may come from a page with other models
    const allowed = { cost: Object.keys(COSTS), color: ["kind", ...settings], along: numeric, base: ["", "scores", ...byId.keys()], one: ["", ...byId.keys()], two: ["", ...byId.keys()],
      average: ["micro", "macro"], cover: ["own", "shared"], timing: ["0", ...D.timings.keys()].map(String) };
    for (const [key, values] of Object.entries(allowed)) if (!values.includes(state[key])) state[key] = DEFAULTS[key];
    state.pin = state.pin.split(",").filter((id) => byId.has(id)).join(",");
    return state;
  }
  function change(changes) {
    Object.assign(view, changes);
    const address = new URLSearchParams();
    for (const key of Object.keys(DEFAULTS)) if (view[key] !== DEFAULTS[key]) address.set(key, view[key]);
    for (const [name, chosen] of Object.entries(view.filters)) for (const one of chosen) address.append(`f.${name}`, one);
    const text = address.toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    show();
  }
  const listed = (text) => (text ? text.split(",") : []);
  const pins = () => listed(view.pin).map((id) => byId.get(id));
  function pin(row) {
    const id = D.models[row].id, now = listed(view.pin);
    change({ pin: (now.includes(id) ? now.filter((other) => other !== id) : [...now, id]).join(",") });
  }

  // Averages and ranks

  function chosenTasks() {
    const wanted = listed(view.types).filter((type) => types.includes(type));
    return D.tasks.flatMap((task, column) => (!wanted.length || wanted.includes(task.label) ? [column] : []));
  }
  function average(row, columns, kind = view.average) {
    const sums = new Map();
    let n = 0;
    for (const column of columns) {
      const score = D.scores[row][column];
      if (score == null) continue;
      const key = kind === "macro" ? D.tasks[column].label : "";
      const [sum, size] = sums.get(key) ?? [0, 0];
      sums.set(key, [sum + score, size + 1]);
      n += 1;
    }
    const means = [...sums.values()].map(([sum, size]) => sum / size);
    return { value: n ? means.reduce((a, b) => a + b) / means.length : null, n };
  }
  // Borda as mteb's leaderboard: a task gives (models - rank) points, ties share ranks, a missing score gives none
  function borda(columns) {
    const total = new Float64Array(D.models.length);
    for (const column of columns) {
      const order = D.models.map((_, row) => row).filter((row) => D.scores[row][column] != null);
      order.sort((a, b) => D.scores[b][column] - D.scores[a][column]);
      for (let start = 0; start < order.length; ) {
        let end = start;
        while (end < order.length && D.scores[order[end]][column] === D.scores[order[start]][column]) end += 1;
        for (let place = start; place < end; place += 1) total[order[place]] += D.models.length - (start + 1 + end) / 2;
        start = end;
      }
    }
    const sorted = [...total].sort((a, b) => b - a);
    return [...total].map((one) => 1 + sorted.findIndex((other) => other <= one + 1e-9));
  }

  // Differences of two models: the replicates of the samples' bootstrap, the same for all models of a task

  const decoded = new Map();
  function replicates(task, row) {
    const part = D.resampled[task];
    const place = part ? part.models.indexOf(row) : -1;
    if (place < 0) return null;
    if (!decoded.has(task)) {
      const bytes = Uint8Array.from(atob(part.data), (character) => character.charCodeAt(0));
      decoded.set(task, new Int16Array(bytes.buffer));
    }
    return decoded.get(task).subarray(place * part.replicates, (place + 1) * part.replicates);
  }
  function gaps(task, one, two) {
    const a = replicates(task, one), b = replicates(task, two);
    return a && b ? Float64Array.from(a, (first, place) => (first - b[place]) * D.resampled[task].scale) : null;
  }
  function variance(numbers) {
    let sum = 0, squares = 0;
    for (const number of numbers) sum += number;
    for (const number of numbers) squares += (number - sum / numbers.length) ** 2;
    return squares / numbers.length;
  }
  // quantile 0.975 of Student's t by its expansion in 1/df (Abramowitz and Stegun, 1964, 26.7.5)
  function quantile(df) {
    const z = 1.959964, few = [0, 12.706, 4.303, 3.182]; // the expansion needs more
    if (df < 4) return few[Math.max(1, Math.round(df))];
    return z + (z ** 3 + z) / (4 * df) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * df ** 2);
  }
  // two-sided p-value of a t statistic by a normal approximation (Abramowitz and Stegun, 26.7.8 and 26.2.17)
  function pValue(t, df) {
    const z = Number.isFinite(df) ? (Math.abs(t) * (1 - 1 / (4 * df))) / Math.sqrt(1 + (t * t) / (2 * df)) : Math.abs(t);
    const u = 1 / (1 + 0.2316419 * z);
    const poly = u * (0.31938153 + u * (-0.356563782 + u * (1.781477937 + u * (-1.821255978 + u * 1.330274429))));
    return 2 * Math.exp((-z * z) / 2) * poly / Math.sqrt(2 * Math.PI);
  }
  function judged(difference, spread, df) {
    if (!(spread > 0)) return { value: difference, low: difference, high: difference, p: difference ? 0 : 1 };
    const reach = quantile(df) * spread;
    return { value: difference, low: difference - reach, high: difference + reach, p: pValue(difference / spread, df) };
  }
  function onTask(column, one, two) {
    const a = D.scores[one][column], b = D.scores[two][column];
    if (a == null || b == null) return null;
    const task = D.tasks[column].name, apart = gaps(task, one, two);
    return apart ? judged(a - b, Math.sqrt(variance(apart)), D.resampled[task].df) : { value: a - b, low: null, high: null, p: null };
  }
  function onAverage(columns, one, two) {
    const both = columns.filter((column) => D.scores[one][column] != null && D.scores[two][column] != null);
    if (!both.length) return null;
    const difference = average(one, both).value - average(two, both).value;
    const sizes = new Map();
    for (const column of both) sizes.set(D.tasks[column].label, (sizes.get(D.tasks[column].label) ?? 0) + 1);
    let spread = 0, shares = 0;
    for (const column of both) {
      const task = D.tasks[column].name, apart = gaps(task, one, two);
      if (!apart) return { value: difference, low: null, high: null, p: null, n: both.length };
      const weight = view.average === "macro" ? 1 / (sizes.size * sizes.get(D.tasks[column].label)) : 1 / both.length;
      const part = weight ** 2 * variance(apart);
      spread += part;
      shares += part ** 2 / D.resampled[task].df;
    }
    return { ...judged(difference, Math.sqrt(spread), shares ? spread ** 2 / shares : Infinity), n: both.length };
  }
  function holm(results) {
    const order = results.map((_, place) => place).filter((place) => results[place]?.p != null);
    order.sort((a, b) => results[a].p - results[b].p);
    let largest = 0;
    order.forEach((place, rank) => {
      largest = Math.max(largest, Math.min(1, results[place].p * (results.filter(Boolean).length - rank)));
      results[place].adjusted = largest;
    });
    return results;
  }
  const verdict = (result) => (result.adjusted == null ? "untested" : result.adjusted >= ALPHA ? "not significant" : result.value > 0 ? "better" : "worse");

  // The table

  function columnsOf(tasks) {
    const shown = [{ key: "rank", title: "Rank", about: "Borda rank among all models, over the chosen task types", up: true }, { key: "average", title: "Avg", score: true }];
    const kinds = [...new Set(tasks.map((column) => D.tasks[column].label))];
    if (D.models.some((model) => model.teacher !== null)) shown.push({ key: "kept", title: "% of teacher" });
    if (kinds.length > 1) shown.push(...kinds.map((kind) => ({ key: `type:${kind}`, title: kind, score: true, of: tasks.filter((column) => D.tasks[column].label === kind) })));
    for (const [key, title] of [["dims", "Dims"], ["size", "Disk (MB)"], ["parameters", "Parameters (M)"], ["speed", "Texts/s"]])
      if (D.models.some((model) => (key === "speed" ? Object.keys(model.speeds).length : model[{ size: "bytes" }[key] ?? key] != null))) shown.push({ key, title, up: key !== "speed" });
    for (const name of settings) if (name !== "dims") shown.push({ key: `set:${name}`, title: words(name), name, up: true, word: true });
    if (view.tasks) shown.push(...tasks.map((column) => ({ key: `task:${D.tasks[column].name}`, title: D.tasks[column].name, score: true, of: [column], task: true })));
    return shown;
  }
  const hideable = (column) => column.key.replace(/^(set|type):/, "");
  function measure(row, column, tasks, ranks) {
    const model = D.models[row];
    if (column.score) return average(row, column.of ?? tasks);
    switch (column.key) {
      case "rank": return { value: ranks[row] };
      case "dims": return { value: model.dims };
      case "size": return { value: model.bytes && model.bytes / 1e6 };
      case "parameters": return { value: model.parameters && model.parameters / 1e6 };
      case "speed": return { value: model.speeds[view.timing]?.[0] ?? null };
      case "kept": {
        if (model.teacher === null) return { value: null };
        const both = tasks.filter((task) => D.scores[row][task] != null && D.scores[model.teacher][task] != null);
        return { value: both.length ? (100 * average(row, both).value) / average(model.teacher, both).value : null };
      }
      default: return { value: value(model, column.name) };
    }
  }
  function text(cell, column) {
    if (cell.value == null) return NONE;
    if (column.score) return cell.value.toFixed(2);
    if (column.key === "kept" || column.key === "size" || column.key === "parameters") return cell.value.toFixed(1);
    if (column.key === "speed") return count(cell.value);
    return String(cell.value);
  }
  function filtered() {
    const wanted = view.q.toLowerCase().split(/\s+/).filter(Boolean);
    const chosen = Object.entries(view.filters).filter(([, values]) => values.length);
    const only = view.only ? new Set(pins()) : null;
    return D.models.flatMap((model, row) => {
      const haystack = `${model.label} ${model.address}`.toLowerCase();
      if (!wanted.every((word) => haystack.includes(word)) || (only && !only.has(row))) return [];
      const kept = chosen.every(([name, values]) => value(model, name) === null || values.includes(String(value(model, name))));
      return kept ? [row] : [];
    });
  }
  // What does not change with the order of the table is computed once
  const memory = new Map();
  function once(key, make) {
    if (!memory.has(key)) {
      if (memory.size > 8) memory.clear();
      memory.set(key, make());
    }
    return memory.get(key);
  }
  // The tasks of the figures: those that at least half of the shown models have; models that lack one are left out
  function commonTasks(rows, tasks) {
    const embedding = rows.filter((row) => D.models[row].group !== "lexical");
    const common = tasks.filter((column) => 2 * embedding.filter((row) => D.scores[row][column] != null).length >= embedding.length);
    return { common, full: rows.filter((row) => common.length && common.every((column) => D.scores[row][column] != null)) };
  }
  function makeView() {
    const rows = filtered();
    let tasks = chosenTasks();
    const whole = tasks.length;
    if (view.cover === "shared") tasks = tasks.filter((column) => rows.every((row) => D.models[row].group === "lexical" || D.scores[row][column] != null));
    const ranks = once(`ranks ${view.types}`, () => borda(chosenTasks()));
    const hidden = new Set(listed(view.hide));
    const columns = columnsOf(tasks).filter((column) => !hidden.has(hideable(column)));
    const known = once(JSON.stringify([view.average, view.timing, view.types, tasks, columns.map((column) => column.key)]), () => new Map());
    for (const row of rows) if (!known.has(row)) known.set(row, columns.map((column) => measure(row, column, tasks, ranks)));
    const cells = known;
    const place = columns.findIndex((column) => column.key === view.sort);
    if (place >= 0) {
      const column = columns[place], full = (column.of ?? tasks).length;
      const descending = view.down ? view.down === "1" : !column.up;
      const key = (row) => cells.get(row)[place];
      rows.sort((a, b) => {
        const one = key(a), two = key(b);
        if (one.value == null || two.value == null) return (one.value == null) - (two.value == null) || a - b;
        if (column.score && (one.n < full) !== (two.n < full)) return (one.n < full) - (two.n < full); // lacking tasks: last
        const order = typeof one.value === "number" && typeof two.value === "number" ? one.value - two.value : String(one.value).localeCompare(String(two.value));
        return (descending ? -order : order) || a - b;
      });
    }
    return { rows, tasks, whole, columns, cells, ranks, place, ...commonTasks(rows, tasks) };
  }
  let current, allRows = false;

  function showTable() {
    const { rows, tasks, whole, columns, cells, place } = current;
    const head = element("tr");
    head.append(element("th", { scope: "col", class: "name word" }, "Model"));
    // the number of tasks goes into the header where all shown models have as many
    const common = columns.map((column, at) => column.score && new Set(rows.map((row) => cells.get(row)[at].n)).size === 1 && rows.length ? cells.get(rows[0])[at].n : null);
    columns.forEach((column, at) => {
      const full = (column.of ?? tasks).length;
      const n = column.score && !column.task ? ` (${common[at] ?? "n"}/${full})` : "";
      const descending = view.down ? view.down === "1" : !column.up;
      const button = element("button", { type: "button", title: column.about, onclick: () => {
        const again = view.sort === column.key;
        change({ sort: column.key, down: again ? (descending ? "0" : "1") : "" });
      } }, column.title + n);
      head.append(element("th", { scope: "col", class: column.word ? "word" : null, "data-key": column.key,
        "aria-sort": at === place ? (descending ? "descending" : "ascending") : "none" }, button));
    });
    $("board").tHead.replaceChildren(head);
    const best = columns.map((column, at) => {
      if (!column.score) return null;
      const full = (column.of ?? tasks).length;
      const known = rows.filter((row) => ["distilled", "static"].includes(D.models[row].group) && cells.get(row)[at].n === full && full);
      return known.length > 1 ? Math.max(...known.map((row) => cells.get(row)[at].value)) : null;
    });
    const pinned = new Set(pins());
    const body = document.createDocumentFragment();
    for (const row of allRows ? rows : rows.slice(0, FIRST_ROWS)) {
      const model = D.models[row], line = element("tr", { class: pinned.has(row) ? "pinned" : null, "data-id": model.id });
      const box = element("input", { type: "checkbox", "aria-label": `pin ${model.label}`, onchange: () => pin(row) });
      box.checked = pinned.has(row);
      line.append(element("th", { scope: "row", title: model.address }, element("label", {}, box, element("span", {}, model.label))));
      cells.get(row).forEach((cell, at) => {
        const column = columns[at], shown = text(cell, column);
        const td = element("td", { class: column.word ? "word" : null, title: column.word && shown.length > 18 ? shown : null });
        td.append(best[at] !== null && cell.value === best[at] && ["distilled", "static"].includes(model.group) ? element("b", {}, shown) : shown);
        if (column.score && common[at] === null && cell.value != null && !column.task) td.append(element("span", { class: "few" }, ` ${cell.n}/${(column.of ?? tasks).length}`));
        line.append(td);
      });
      body.append(line);
    }
    $("board").tBodies[0].replaceChildren(body);
    $("more").hidden = allRows || rows.length <= FIRST_ROWS;
    $("more").textContent = `Show all ${count(rows.length)} models`;
    $("count").textContent = `${count(rows.length)} of ${count(D.models.length)} models, ${tasks.length} of ${D.tasks.length} tasks` +
      (tasks.length < whole ? ` (${whole - tasks.length} left out, as some shown models lack them)` : "");
  }

  function showPins() {
    const rows = pins();
    $("pins").hidden = !rows.length;
    $("pins").replaceChildren("Pinned:", ...rows.map((row) => element("button", { type: "button", "aria-label": `unpin ${D.models[row].label}`, onclick: () => pin(row) }, `${D.models[row].label} ×`)));
    if (!rows.length) return;
    const box = element("input", { type: "checkbox", id: "only", onchange: (event) => change({ only: event.target.checked ? "1" : "" }) });
    box.checked = view.only === "1";
    $("pins").append(element("label", {}, box, " show only these"));
  }

  // Figures, by Vega-Lite

  const CONFIG = {
    background: null, font: getComputedStyle(document.body).fontFamily, view: { stroke: null }, autosize: { type: "fit-x", contains: "padding" },
    axis: { labelColor: "currentColor", titleColor: "currentColor", gridColor: "currentColor", gridOpacity: 0.14, domainColor: "currentColor", tickColor: "currentColor", labelFontSize: 12, titleFontSize: 13, titleFontWeight: "normal", labelLimit: 220 },
    legend: { labelColor: "currentColor", titleColor: "currentColor", labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal", labelLimit: 260, orient: "top", columns: Math.max(1, Math.floor(innerWidth / 220)) },
    text: { color: "currentColor", fontSize: 11 }, rule: { color: "currentColor" }, line: { color: "currentColor" },
  };
  const PALETTE = [...Array(8).keys()].map((n) => `var(--p${n})`);
  const SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "stroke"];
  async function plot(id, spec, described) {
    const target = $(id);
    const number = (target.drawing = (target.drawing ?? 0) + 1);
    target.setAttribute("role", "img");
    target.setAttribute("aria-label", described);
    $(`${id}-text`).textContent = described;
    target.classList.toggle("empty", spec === null);
    if (spec === null) return target.replaceChildren();
    const holder = element("div");
    const result = await vegaEmbed(holder, { width: Math.max(280, target.clientWidth), config: CONFIG, ...spec }, { actions: false, renderer: "svg", mode: "vega-lite", tooltip: { disableDefaultStyle: true } });
    if (target.drawing !== number) return result.finalize();
    result.view.addEventListener("click", (_, item) => item?.datum?.id !== undefined && pin(byId.get(item.datum.id)));
    target.old?.finalize();
    target.old = result;
    target.replaceChildren(holder);
  }
  const domain = (names) => ({ domain: names, range: names.map((_, place) => PALETTE[place % PALETTE.length]) });
  const shapes = (names) => ({ domain: names, range: names.map((_, place) => SHAPES[place % SHAPES.length]) });

  function cost(model) {
    if (view.cost === "speed") return model.speeds[view.timing] ?? null;
    // files of one shape differ by some bytes of their configuration
    const one = view.cost === "size" ? model.bytes && Number((model.bytes / 1e6).toPrecision(3)) : model.dims;
    return one ? [one, one, one] : null;
  }
  function scatterPoints() {
    return current.full.flatMap((row) => {
      const model = D.models[row], at = cost(model), mean = average(row, current.common);
      if (!at) return [];
      return [{ id: model.id, row, label: model.label, score: mean.value, x: at[0], low: at[1], high: at[2], pinned: pins().includes(row), color: String(value(model, view.color) ?? GROUPS[model.group] ?? NONE) }];
    });
  }
  function showScatter() {
    const marks = scatterPoints(), smaller = COSTS[view.cost][1];
    const dominated = (one) => marks.some((other) => other !== one && other.score >= one.score && (smaller ? other.x < one.x || (other.x === one.x && other.score > one.score) : other.low > one.high));
    const together = view.cost !== "speed" || / together /.test(D.timings[view.timing]);
    const front = marks.filter((one) => !dominated(one)).sort((a, b) => a.x - b.x);
    for (const one of marks) one.name = one.pinned || (front.length <= NAMED && front.includes(one) && together) ? one.label : "";
    [...marks].sort((a, b) => a.x - b.x).filter((one) => one.name).forEach((one, place) => (one.parity = place % 2)); // names above and below
    const unplaced = current.rows.length - marks.length;
    const title = COSTS[view.cost][0];
    const timed = view.cost === "speed" ? ` ${D.timings[view.timing] ?? ""}.` : "";
    if (marks.length < 2) return plot("scatter", null, `Fewer than two of the shown models have all ${current.common.length} tasks that most have, and a known value of: ${title}.`);
    const names = [...new Set(marks.map((one) => one.color))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const x = { field: "x", type: "quantitative", scale: { type: view.cost === "dims" ? "linear" : "log", zero: false, nice: false, padding: 30 }, axis: { title, tickCount: 6, format: view.cost === "speed" ? ",d" : "~g" } };
    const y = { field: "score", type: "quantitative", scale: { zero: false, padding: 20 }, axis: { title: `average score (${current.common.length} tasks)` } };
    const tooltip = [{ field: "label", title: "model" }, { field: "score", title: "average", format: ".2f" }, { field: "x", title: view.cost === "speed" ? "texts/s" : view.cost === "size" ? "MB" : "dims", format: view.cost === "speed" ? ",.0f" : ".4~g" }, { field: "color", title: words(view.color) }];
    const layers = [
      { mark: { type: "point", filled: true, size: 70, opacity: 0.85, cursor: "pointer" }, encoding: { x, y, tooltip,
        color: { field: "color", type: "nominal", scale: domain(names), legend: names.length <= 24 ? { title: words(view.color) } : null }, shape: { field: "color", type: "nominal", scale: shapes(names), legend: names.length <= 24 ? { title: words(view.color) } : null } } },
      { transform: [{ filter: "datum.pinned" }], mark: { type: "point", size: 220, stroke: "currentColor", strokeWidth: 1.5 }, encoding: { x, y } },
      ...[[0, -11], [1, 15]].map(([parity, dy]) => ({ transform: [{ filter: `datum.name && datum.parity === ${parity}` }], mark: { type: "text", dy, limit: 220 }, encoding: { x, y, text: { field: "name" } } })),
    ];
    if (view.cost === "speed") layers.unshift({ mark: { type: "rule", opacity: 0.5 }, encoding: { x: { ...x, field: "low" }, x2: { field: "high" }, y } });
    if (together) layers.unshift({ data: { values: front }, mark: { type: "line", interpolate: smaller ? "step-after" : "step-before", strokeDash: [4, 3], opacity: 0.7, strokeWidth: 1 }, encoding: { x, y } });
    plot("scatter", { data: { values: marks }, height: 380, layer: layers }, `Average score against ${title}: ${marks.length} models` +
      (unplaced ? `, without ${unplaced} that lack tasks or whose value is not known` : "") + "." +
      (together ? ` ${front.length} are not dominated (dashed line): ${front.slice(-3).reverse().map((one) => `${one.label} ${one.score.toFixed(2)}`).join(", ")}${front.length > 3 ? " and others" : ""}.` : " These were not timed together, so no line is drawn.") + timed + " Click a point to pin its model.");
  }

  function showCurve() {
    const name = view.along;
    if (!numeric.length) return plot("curve", null, "The models differ in no numeric setting.");
    const n = current.common.length, others = settings.filter((other) => ![name, "kind", "dims", name === "dims" ? "pca_dims" : ""].includes(other)); // PCA sets dims
    const marks = current.full.flatMap((row) => {
      const model = D.models[row], x = value(model, name), mean = average(row, current.common);
      if (typeof x !== "number" || model.group !== "distilled") return [];
      const key = JSON.stringify(others.map((other) => value(model, other)));
      return [{ id: model.id, label: model.label, x, score: mean.value, key, model }];
    });
    const series = marks.reduce((map, one) => map.set(one.key, [...(map.get(one.key) ?? []), one]), new Map());
    const lines = [...series.values()].filter((line) => new Set(line.map((one) => one.x)).size > 1);
    if (!lines.length) return plot("curve", null, `No shown models differ in ${words(name)} alone.`);
    const changing = others.filter((other) => new Set(lines.map((line) => String(value(line[0].model, other)))).size > 1);
    for (const line of lines) {
      const title = changing.map((other) => value(line[0].model, other)).filter((one) => one !== null).join(" ") || value(line[0].model, "teacher") || "models";
      for (const one of line) one.series = title;
    }
    const values = lines.flat().map(({ model, ...one }) => one), names = [...new Set(values.map((one) => one.series))];
    const xs = values.map((one) => one.x), low = Math.min(...xs), high = Math.max(...xs);
    const x = { field: "x", type: "quantitative", scale: { type: low > 0 && high / low > 20 ? "log" : "linear", zero: false, padding: 20 }, axis: { title: words(name), format: "~g", ...(new Set(xs).size <= 12 ? { values: [...new Set(xs)] } : { tickCount: 6 }) } };
    const y = { field: "score", type: "quantitative", scale: { zero: false, padding: 15 }, axis: { title: `average score (${n} tasks)` } };
    const color = { field: "series", type: "nominal", scale: domain(names), legend: names.length > 1 && names.length <= 12 ? { title: null } : null };
    const tooltip = [{ field: "label", title: "model" }, { field: "x", title: words(name) }, { field: "score", title: "average", format: ".2f" }];
    plot("curve", { data: { values }, height: 340, layer: [
      { mark: { type: "line", opacity: 0.8 }, encoding: { x, y, color } },
      { mark: { type: "point", filled: true, size: 70, cursor: "pointer" }, encoding: { x, y, color, tooltip, shape: { field: "series", type: "nominal", scale: shapes(names), legend: null } } }] },
      `Average score along ${words(name)}: ${lines.length} ${lines.length === 1 ? "line" : "lines"} of models that differ in it alone. ` + lines.slice(0, 3).map((line) => {
        const ordered = [...line].sort((a, b) => a.x - b.x), best = ordered.reduce((a, b) => (b.score > a.score ? b : a));
        return `${ordered[0].series}: ${ordered[0].score.toFixed(2)} at ${ordered[0].x}, ${ordered.at(-1).score.toFixed(2)} at ${ordered.at(-1).x}, best ${best.score.toFixed(2)} at ${best.x}.`;
      }).join(" "));
  }

  function showHeat() {
    const rows = current.rows.slice(0, HEAT_ROWS), base = view.base;
    const other = (row) => (base === "scores" ? null : base ? byId.get(base) ?? null : D.models[row].teacher);
    const cells = [];
    let tested = 0, marked = 0, without = 0;
    for (const row of rows) {
      const against = other(row), model = D.models[row];
      if (base !== "scores" && (against === null || against === row)) { without += 1; continue; }
      const results = holm(current.tasks.map((column) => (base === "scores" ? null : onTask(column, row, against))));
      current.tasks.forEach((column, place) => {
        const score = D.scores[row][column], result = results[place];
        if (score == null || (base !== "scores" && !result)) return;
        const significant = result?.adjusted != null && result.adjusted < ALPHA;
        tested += result?.adjusted != null; marked += significant;
        cells.push({ id: model.id, label: model.label, task: D.tasks[column].name, type: D.tasks[column].label, shown: base === "scores" ? score : result.value, score, mark: significant ? "•" : "",
          against: against === null ? "" : D.models[against].label, interval: result?.low != null ? `${signed(result.low)} to ${signed(result.high)}` : NONE });
      });
    }
    if (!cells.length) return plot("heat", null, base === "" ? "None of the shown models has its teacher here; choose another model to compare with, or the scores." : "No scores to show.");
    const difference = base !== "scores";
    const limit = difference ? [...cells].map((cell) => Math.abs(cell.shown)).sort((a, b) => a - b)[Math.floor(0.95 * (cells.length - 1))] || 1 : null;
    const shownRows = [...new Set(cells.map((cell) => cell.label))];
    const y = { field: "label", type: "nominal", sort: shownRows, axis: { title: null, labelLimit: innerWidth < 600 ? 120 : 300, ticks: false, domain: false } };
    const x = { field: "task", type: "nominal", sort: current.tasks.map((column) => D.tasks[column].name), axis: { title: null, labelAngle: -60, labelLimit: 160, orient: "top", ticks: false, domain: false } };
    const tooltip = [{ field: "label", title: "model" }, { field: "task", title: "task" }, { field: "score", title: "score", format: ".2f" },
      ...(difference ? [{ field: "shown", title: "difference", format: "+.2f" }, { field: "interval", title: "95 % interval" }, { field: "against", title: "to" }] : [])];
    const scale = difference ? { domain: [-limit, 0, limit], range: ["#b35806", "#f3f0ea", "#2166ac"], clamp: true } : { scheme: "viridis" };
    const text = base === "" ? "its teacher" : difference ? D.models[byId.get(base)]?.label : "";
    plot("heat", { data: { values: cells }, autosize: { type: "pad" }, width: { step: innerWidth < 600 ? 16 : 24 }, height: { step: 20 }, layer: [
      { mark: { type: "rect", cursor: "pointer" }, encoding: { x, y, tooltip, color: { field: "shown", type: "quantitative", scale, legend: { title: difference ? "difference, points" : "score", orient: "bottom", gradientLength: 200 } } } },
      { mark: { type: "text", color: "#000000", fontSize: 16, baseline: "middle" }, encoding: { x, y, text: { field: "mark" } } }] },
      (difference ? `Differences to ${text} per task, in points` : "Scores per task") + `: the first ${rows.length} of ${current.rows.length} models in the table's order` +
      (without ? `, without ${without} that have nothing to be compared with` : "") + "." +
      (tested ? ` A dot marks ${marked} of ${tested} differences that are significant (α = ${ALPHA}, Holm-corrected over the tasks of a model).` : difference ? " None could be tested." : ""));
  }

  function pairRows() {
    const [first, second] = pins();
    return [byId.get(view.one) ?? first ?? current.rows[0], byId.get(view.two) ?? second ?? current.rows.find((row) => row !== (byId.get(view.one) ?? first ?? current.rows[0]))];
  }
  function showPair() {
    const [one, two] = pairRows();
    const head = $("differences").tHead, body = $("differences").tBodies[0];
    head.replaceChildren(); body.replaceChildren();
    $("verdict").textContent = "";
    if (one === undefined || two === undefined || one === two) return plot("pair", null, "Choose two models here, or pin two in the table.");
    const columns = current.tasks.filter((column) => D.scores[one][column] != null && D.scores[two][column] != null);
    const names = [D.models[one].label, D.models[two].label];
    const results = holm(columns.map((column) => onTask(column, one, two)));
    const values = results.map((result, place) => ({ ...result, task: D.tasks[columns[place]].name, type: D.tasks[columns[place]].label, one: D.scores[one][columns[place]], two: D.scores[two][columns[place]], verdict: verdict(result), interval: result.low != null ? `${signed(result.low)} to ${signed(result.high)}` : NONE }));
    const whole = onAverage(columns, one, two);
    if (!whole) return plot("pair", null, `${names[0]} and ${names[1]} have no task in common.`);
    const tally = (word) => values.filter((row) => row.verdict === word).length;
    const sure = whole.p != null && whole.p < ALPHA;
    $("verdict").textContent = `${names[0]} minus ${names[1]}: ${signed(whole.value)} points on average ${view.average === "macro" ? "over task types" : "over tasks"} (${whole.n} tasks)` +
      (whole.low == null ? "; without per-sample outputs of all tasks there is no interval." : `, 95 % interval ${signed(whole.low)} to ${signed(whole.high)}: ${sure ? "a significant difference on these tasks" : "no significant difference on these tasks"}. Per task: ${tally("better")} significantly better, ${tally("worse")} worse, ${tally("not significant")} not significantly different (Holm-corrected)${tally("untested") ? `, ${tally("untested")} untested` : ""}.`);
    const order = [...values].sort((a, b) => types.indexOf(a.type) - types.indexOf(b.type) || b.value - a.value).map((row) => row.task);
    const y = { field: "task", type: "nominal", sort: order, axis: { title: null, labelLimit: innerWidth < 600 ? 130 : 300 } };
    const tooltip = [{ field: "task" }, { field: "type" }, { field: "one", title: names[0], format: ".2f" }, { field: "two", title: names[1], format: ".2f" }, { field: "value", title: "difference", format: "+.2f" }, { field: "interval", title: "95 % interval" }, { field: "verdict" }];
    const kinds = ["better", "not significant", "worse", "untested"];
    const color = { field: "verdict", type: "nominal", scale: { domain: kinds, range: ["var(--p0)", "var(--p6)", "var(--p1)", "var(--p4)"] }, legend: { title: null } };
    const title = "difference in points, with 95 % interval";
    plot("pair", { data: { values }, height: { step: 18 }, layer: [
      { data: { values: [{ zero: 0 }] }, mark: { type: "rule", strokeDash: [3, 3] }, encoding: { x: { field: "zero", type: "quantitative" } } },
      { transform: [{ filter: "isValid(datum.low)" }], mark: { type: "rule", strokeWidth: 2 }, encoding: { y, x: { field: "low", type: "quantitative", axis: { title } }, x2: { field: "high" }, color } },
      { mark: { type: "point", filled: true, size: 60 }, encoding: { y, x: { field: "value", type: "quantitative", axis: { title } }, color, tooltip, shape: { field: "verdict", type: "nominal", scale: { domain: kinds, range: ["circle", "diamond", "square", "cross"] } } } }] },
      `${names[0]} minus ${names[1]} per task; right of the dashed line the first is better. The numbers are in the table below.`);
    head.append(element("tr", {}, ...["Task", "Type", names[0], names[1], "Difference", "95 % interval", "Result"].map((name, at) => element("th", { scope: "col", class: at < 2 || at > 5 ? "word" : null }, name))));
    for (const task of order) {
      const row = values.find((one) => one.task === task);
      body.append(element("tr", {}, element("th", { scope: "row" }, task), element("td", { class: "word" }, row.type), ...[row.one.toFixed(2), row.two.toFixed(2), signed(row.value), row.interval].map((cell) => element("td", {}, cell)), element("td", { class: "word" }, row.verdict)));
    }
  }

  // Controls

  function options(id, entries, chosen) {
    $(id).replaceChildren(...entries.map(([key, title]) => element("option", { value: key }, title)));
    $(id).value = chosen;
  }
  function chips(target, entries, isOn, toggle) {
    target.replaceChildren(...entries.map(([key, title]) => {
      const box = element("input", { type: "checkbox", "data-chip": `${target.id}${key}`, onchange: (event) => toggle(key, event.target.checked) });
      box.checked = isOn(key);
      return element("label", {}, box, title);
    }));
  }
  let controls = "";
  function showControls() {
    const state = JSON.stringify([view.q, view.average, view.cover, view.types, view.hide, view.tasks, view.filters]);
    if (state !== controls) showChoices();
    controls = state;
    $("timing").value = view.timing;
    $("timing-label").hidden = D.timings.length < 2 || view.cost !== "speed";
    for (const id of ["cost", "color", "along", "base"]) $(id).value = view[id];
    const [one, two] = pairRows();
    $("one").value = one === undefined ? "" : D.models[one].id;
    $("two").value = two === undefined ? "" : D.models[two].id;
  }
  function showChoices() {
    if (document.activeElement !== $("search")) $("search").value = view.q;
    $("average").value = view.average;
    $("cover").value = view.cover;
    const wanted = listed(view.types);
    chips($("types"), types.map((type) => [type, type]), (type) => !wanted.length || wanted.includes(type), (type, on) => {
      const now = wanted.length ? wanted : types;
      const next = types.filter((one) => (one === type ? on : now.includes(one)));
      change({ types: next.length === types.length || !next.length ? "" : next.join(",") });
    });
    const panels = $("filters").querySelector(".panels");
    panels.replaceChildren(...settings.filter((name) => !/revision$/.test(name)).map((name) => {
      const list = element("div", { id: `filter-${name}` }), chosen = view.filters[name] ?? [];
      chips(list, distinct(D.models, name).map((one) => [String(one), String(one)]), (one) => chosen.includes(one), (one, on) => {
        change({ filters: { ...view.filters, [name]: on ? [...chosen, one] : chosen.filter((other) => other !== one) } });
      });
      return element("fieldset", {}, element("legend", {}, words(name)), list);
    }));
    const hidden = listed(view.hide), all = columnsOf(chosenTasks()).filter((column) => !column.task);
    chips($("columns").querySelector(".chips"), [...all.map((column) => [hideable(column), column.title]), ["\ntasks", "every task"]],
      (key) => (key === "\ntasks" ? view.tasks === "1" : !hidden.includes(key)),
      (key, on) => change(key === "\ntasks" ? { tasks: on ? "1" : "" } : { hide: (on ? hidden.filter((one) => one !== key) : [...hidden, key]).join(",") }));
  }
  function fillMenus() {
    const costs = Object.keys(COSTS).filter((key) => D.models.some((model) => (key === "speed" ? Object.keys(model.speeds).length : model[key === "size" ? "bytes" : "dims"])));
    options("cost", costs.map((key) => [key, { speed: "speed", size: "size on disk", dims: "dimensions" }[key]]), view.cost);
    options("timing", D.timings.map((about, place) => [String(place), about]), view.timing);
    options("color", ["kind", ...settings.filter((name) => name !== "kind")].map((name) => [name, words(name)]), view.color);
    options("along", numeric.map((name) => [name, words(name)]), view.along);
    const models = D.models.map((model) => [model.id, model.label]);
    options("base", [["", "difference to the teacher"], ["scores", "scores"], ...models.map(([id, label]) => [id, `difference to ${label}`])], view.base);
    options("one", models, "");
    options("two", models, "");
  }
  for (const id of ["average", "cover", "cost", "timing", "color", "along", "base", "one", "two"]) $(id).addEventListener("change", (event) => change({ [id]: event.target.value }));
  let typing;
  $("search").addEventListener("input", (event) => { clearTimeout(typing); typing = setTimeout(() => change({ q: event.target.value }), 120); });
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  $("more").addEventListener("click", () => { allRows = true; showTable(); });
  $("reset").addEventListener("click", () => { view = { ...DEFAULTS, filters: {} }; $("search").value = ""; change({}); });
  addEventListener("hashchange", () => { view = read(); show(); });

  // Files of the current view

  function rowsOf() {
    const { rows, columns, cells, tasks } = current;
    const head = ["Model", ...columns.map((column) => column.title)];
    const counted = (cell, column) => text(cell, column) + (column.score && !column.task && cell.value != null ? ` (${cell.n}/${(column.of ?? tasks).length})` : "");
    return { head, lines: rows.map((row) => [D.models[row].label, ...cells.get(row).map((cell, at) => counted(cell, columns[at]))]), rows, columns, cells, tasks };
  }
  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  function csv() {
    const { head, rows, columns, cells } = rowsOf();
    const titles = ["Model", ...columns.flatMap((column, at) => (column.score && !column.task ? [head[at + 1], `${head[at + 1]}_n`] : [head[at + 1]]))];
    const lines = rows.map((row) => [D.models[row].label, ...cells.get(row).flatMap((cell, at) => {
      const number = cell.value == null ? "" : typeof cell.value === "number" ? String(Math.round(cell.value * 1e4) / 1e4) : String(cell.value);
      return columns[at].score && !columns[at].task ? [number, String(cell.n)] : [number];
    })]);
    return [titles, ...lines].map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  }
  const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "–": "--" };
  const tex = (cell) => cell.replace(/[\\~^–&%$#_{}]/g, (character) => TEX[character] ?? `\\${character}`);
  function latex() {
    const { head, lines, columns } = rowsOf();
    const row = (line) => `${line.map(tex).join(" & ")} \\\\`;
    return [`\\begin{tabular}{l${columns.map((column) => (column.word ? "l" : "r")).join("")}}`, "\\toprule", row(head), "\\midrule", ...lines.map(row), "\\bottomrule", "\\end{tabular}", `% ${D.signature}`, ""].join("\n");
  }
  function save(name, content, type) {
    const link = element("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  $("csv").addEventListener("click", () => save("leaderboard.csv", csv(), "text/csv"));
  $("latex").addEventListener("click", () => save("leaderboard.tex", latex(), "text/x-tex"));

  function showLead() {
    const { common, full } = commonTasks(D.models.map((_, row) => row), D.tasks.map((_, column) => column));
    const mean = (row) => average(row, common, "micro").value;
    const best = full.filter((row) => ["distilled", "static"].includes(D.models[row].group)).sort((a, b) => mean(b) - mean(a))[0];
    $("lead").textContent = `${count(D.models.length)} models on ${D.tasks.length} tasks of ${types.length} types.` +
      (best === undefined ? "" : ` Of the ${full.length} that have all of the ${common.length} tasks that most have, the best static one is ${D.models[best].label}: ${mean(best).toFixed(2)} on average.`);
    $("legend").textContent = "Main scores x 100; the best static model with all tasks of a column in bold. Models that lack tasks of a column come last when it sorts. Rank: Borda, over all models of this page.";
    $("notes").replaceChildren(...[...D.notes, ...D.timings.map((about) => `speed: ${about}`),
      Object.keys(D.resampled).length ? `intervals: mean and spread of ${Object.values(D.resampled)[0].replicates} paired bootstrap resamples of the samples of each task, with a normal approximation; m2v-bench compare gives percentile intervals, for tasks like these as well` : ""].filter(Boolean).map((note) => element("li", {}, note)));
    $("signature").textContent = D.signature;
  }

  // Figures are drawn one after the other once the table is painted, so that the page answers meanwhile
  let later, frame;
  function drawFigures(waiting) {
    const [draw, ...rest] = waiting;
    if (draw === undefined) {
      document.body.dataset.drawn = String(Number(document.body.dataset.drawn ?? 0) + 1);
      return;
    }
    draw();
    later = setTimeout(() => drawFigures(rest), 20);
  }
  function show() {
    const held = document.activeElement, mark = ["key", "id", "chip"].map((name) => [name, held?.closest?.(`[data-${name}]`)?.dataset[name]]).find(([, value]) => value !== undefined);
    current = makeView();
    showTable();
    showPins();
    showControls();
    if (mark && !held.isConnected) {
      const again = [...document.querySelectorAll(`[data-${mark[0]}]`)].find((node) => node.dataset[mark[0]] === mark[1]);
      (again?.matches("input") ? again : again?.querySelector("button, input"))?.focus();
    }
    clearTimeout(later);
    cancelAnimationFrame(frame);
    const draw = () => { later = setTimeout(() => drawFigures([showScatter, showCurve, showHeat, showPair]), 20); };
    if (document.hidden) draw(); // no frame is painted
    else frame = requestAnimationFrame(() => { frame = requestAnimationFrame(draw); });
  }
  let width = innerWidth, resized;
  addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => { if (innerWidth !== width) { width = innerWidth; show(); } }, 200); });
  fillMenus();
  showLead();
  show();
  window.leaderboard = { onTask, onAverage, average, borda };

  if (document.body.dataset.live) setInterval(async () => {
    try {
      const answer = await fetch("version", { cache: "no-store" });
      if (answer.ok && (await answer.text()) !== document.body.dataset.live) location.reload();
    } catch { /* the server has ended; the page stays */ }
  }, 3000);
})();
