"""The server behind the page: queue, limits, uploads, stored runs. No gradio, no MAX."""
