"""How `synthetic_faces` draws."""
