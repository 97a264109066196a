"""What a model is worth: scores per instrument, calibration, pictures for people."""
