"""GGUF files, the format of llama.cpp: models and tokenizers read from them, models and adapters written as them."""
