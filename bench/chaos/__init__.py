"""`make chaos`: break one part after another of a real hub under load, and write down what people noticed."""
