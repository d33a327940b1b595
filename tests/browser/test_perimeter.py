"""What a real Chromium does with our headers, and what another site's page may do with ours."""

import contextlib
import http.server
import threading

import pytest

pytestmark = pytest.mark.browser

# Tries what a foreign script would: read, send a form in every way that needs no preflight, embed.
FOREIGN = """<!doctype html><title>another site</title><iframe></iframe><script>
async function attack(page) {
  const form = new FormData();
  form.append('files', new File(['RIFF'], 'foreign.wav'));
  const tries = {
    read: () => fetch(page + 'config').then(answer => answer.text()),
    upload: () => fetch(page + 'gradio_api/upload', {method: 'POST', body: form, mode: 'no-cors'}),
    json: () => fetch(page + 'gradio_api/queue/join', {method: 'POST', body: '{"data": []}',
      headers: {'content-type': 'application/json'}}),
  };
  const got = {};
  for (const [name, run] of Object.entries(tries))
    got[name] = await run().then(answer => answer.type ?? 'read', () => 'refused');
  document.querySelector('iframe').src = page;
  return got;
}
</script>"""


@contextlib.contextmanager
def another_site():
    """Address of a server of another origin that has only the page above."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(FOREIGN.encode())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_another_sites_page_neither_reads_nor_sends_nor_frames(browser, served):
    address, uploads = served[:2]
    with another_site() as site:
        page = browser.new_page()
        page.goto(site)
        statuses = {}
        page.on("response", lambda answer: statuses.update({answer.url: answer.status}))
        got = page.evaluate("page => attack(page)", address)
        assert (got["read"], got["json"]) == ("refused", "refused")
        assert not list(uploads.root.rglob("foreign*")), "a form is sent without a question"
        assert statuses[f"{address}gradio_api/upload"] == 403
        page.wait_for_timeout(2000)
        framed = page.frames[1]
        assert framed.locator("gradio-app").count() == 0
        page.close()


def test_text_that_became_html_runs_no_script(browser, served):
    page = browser.new_page()
    page.goto(served[0])
    page.get_by_role("button", name="A short clip").wait_for()
    said = []
    page.on("console", lambda message: said.append(message.text))
    page.evaluate(
        """() => {
          const place = document.createElement('div');
          place.innerHTML = '<img src="data:," onerror="window.ran = 1">';
          document.body.append(place);
          const script = document.createElement('script');
          script.textContent = 'window.ran = 2';
          document.body.append(script);
        }"""
    )
    page.wait_for_timeout(500)
    assert page.evaluate("() => window.ran") is None
    assert [text for text in said if "Content Security Policy" in text]
    page.close()
