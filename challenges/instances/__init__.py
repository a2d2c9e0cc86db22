"""How a team's copy of a challenge is launched, reached and ended; services say who may ask for it."""
