"""The agent of Kutanga Hub on an edge device."""

VERSION = "0.1.0"
