"""The stages, one a file; a stage never imports another stage."""
