"""Export of an architecture to files that run without nasctl; one file of this package for each format."""
