"""Read what runs wrote: records, scores, experiments, samples; export them to one file."""
