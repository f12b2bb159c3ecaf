"""How often objects are picked at the point that was registered, in the simulated cell."""
