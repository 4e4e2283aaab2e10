"""The description of the HTTP door for machines (OpenAPI 3.1) and for readers. One module of plain data per dialect."""
