"""The chaos suite: a real Penstock under load, a seeded schedule of kills, and what must hold when it is over."""
