"""Read what runs wrote: scores, records, jobs."""
