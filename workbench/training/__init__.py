"""Training of students and teachers: examples, model, losses, the loop, and the checkpoint that comes out."""
