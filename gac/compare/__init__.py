"""Methods side by side: a specification of runs, the runs, and the tables and figures of what they scored."""
