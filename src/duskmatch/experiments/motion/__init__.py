"""Clips in other orders: does a model use motion?"""
