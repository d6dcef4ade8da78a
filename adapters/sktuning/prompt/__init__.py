"""SK-prompt: input embeddings before the text's own."""
