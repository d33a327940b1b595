"""Engines behind process borders, and the guards of a public page. No gradio, no MAX in here."""
