"""Addresses of the API of devices: for people and programs, and the devices' own."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
