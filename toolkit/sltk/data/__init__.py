"""From readers to datasets in the scheme of the model, and what is counted, checked and converted on the way."""
