"""The server: `cvzoo serve`. docs/serving.md shows how it is used and what it refuses.

app.py         what stands behind each address
gate.py        what every request passes: its number, the token, the log
uploads.py     an image and what is asked of it, out of the body of a request
batcher.py     the queue, and the threads that take images from it, several at a time
models.py      the models, and the answers to a batch
wire.py        what is asked and answered, in JSON
metrics.py     what Prometheus reads
"""
