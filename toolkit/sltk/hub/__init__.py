"""Upload a model to the Hugging Face hub.

upload_plan.py   which files of an export are uploaded, and what is refused
repository.py    the repository on the hub: create it, see what it holds, send one commit
pushing.py       export → card → plan → commit
"""
