"""What a trial is, for each body of work: the only place that ties systems to the study."""
