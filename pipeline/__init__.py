"""What is computed: text to tokenizer, examples, pretrained encoder and fine-tuned scores."""
