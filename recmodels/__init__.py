"""recmodels decides: data, models, training, evaluation and ranking, without network, clock or environment."""
