"""How the weights were made: conversion, data, losses, export. Not installed with the package."""
