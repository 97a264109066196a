"""What people look at: pictures as PNG bytes, scores as text, and the page of ``report``."""
