"use strict";
// Tables sort by a click on a column's name, or Enter and Space on it: one way, the other way, as it was.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const given = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  if (given.length < 2) continue;
  heads.forEach((head, column) => {
    const cells = given.map((row) => row.cells[column]);
    const value = (row) => row.cells[column].dataset.value;
    const numeric = cells.some((cell) => cell.dataset.value !== undefined);
    const ways = numeric ? ["descending", "ascending"] : ["ascending", "descending"];
    // no <button>: a browser does not print a head that holds one again on the next sheet
    const button = document.createElement("span");
    button.setAttribute("role", "button");
    button.tabIndex = 0;
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      button.click();
    });
    button.addEventListener("click", () => {
      const way = ways[ways.indexOf(head.getAttribute("aria-sort")) + 1] ?? "none";
      for (const other of heads) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", way);
      const sign = way === "ascending" ? 1 : -1;
      const compare = (one, two) => {
        if (!numeric) {
          const texts = [one, two].map((row) => row.cells[column].textContent);
          return sign * texts[0].localeCompare(texts[1], "en", { numeric: true });
        }
        if (value(one) === undefined || value(two) === undefined) {
          return (value(one) === undefined) - (value(two) === undefined); // what is missing comes last, either way
        }
        return sign * (value(one) - value(two));
      };
      body.append(...(way === "none" ? given : [...given].sort(compare)));
    });
  });
}
// Show a mark's values on hover; click to pin or unpin them.
for (const figure of document.querySelectorAll("figure:has(.tip)")) {
  const hint = document.createElement("span");
  hint.className = "hint";
  hint.textContent = " Hover over a mark to see its values; click to pin them.";
  figure.querySelector("figcaption").append(hint);
}
for (const tip of document.querySelectorAll("figure .tip")) {
  const title = tip.querySelector("title");
  const text = title.textContent;
  title.remove(); // the browser would show it, too
  let box = null, kept = false;
  const hide = () => { box?.remove(); box = null; };
  const show = (event) => {
    if (!box) {
      box = document.createElement("div");
      box.className = "tip-text";
      box.setAttribute("role", "status");
      box.textContent = text;
      document.body.append(box);
    }
    if (kept) return;
    const right = document.documentElement.scrollLeft + document.documentElement.clientWidth - box.offsetWidth - 8;
    box.style.left = `${Math.max(8, Math.min(event.pageX + 12, right))}px`;
    box.style.top = `${Math.max(8, event.pageY - box.offsetHeight - 12)}px`;
  };
  addEventListener("resize", () => { kept = false; hide(); });
  tip.addEventListener("pointerenter", show);
  tip.addEventListener("pointermove", show);
  tip.addEventListener("pointerleave", () => kept || hide());
  tip.addEventListener("click", (event) => {
    show(event);
    kept = !kept;
    if (!kept) hide();
  });
}
// What is folded on the screen is open on paper.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open])")) {
    details.open = true;
    addEventListener("afterprint", () => (details.open = false), { once: true });
  }
});
