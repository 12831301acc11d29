"""The copy gate: are samples copies of training patients, and does the model tell who was trained on."""
