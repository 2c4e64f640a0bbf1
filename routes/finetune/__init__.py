"""Photos → a fine-tuned model: the trainer, with photos, tagger and critic handed in."""
