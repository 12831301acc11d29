"""One page, a model card and a data sheet from what evaluate, audit and utility found."""
