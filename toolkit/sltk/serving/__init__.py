"""`sltk serve`: a trained model behind HTTP. This layer needs the extra `serve`.

web_app.py           the application: routes, and what surrounds every request
prediction_routes.py POST /predict and /predict/stream
service_routes.py    GET /health, /info, /docs and the page
guards.py            host names, tokens, security headers, errors as JSON
request_bodies.py    bodies: limits, strict JSON, validation
batching_queue.py    the thread that owns the model, and the lines that wait for it
socket_server.py     uvicorn with time limits for slow clients, and a graceful end
"""
