"""Everything that grades pairs: language models, a baseline without a key, recorded answers, checkpoints."""
