"""The HTTP API in OpenAI's shape, in front of the same queue as the page. No gradio, no MAX."""
