"""Documents about a run as a whole: its manifest, its failure, its announcement."""
