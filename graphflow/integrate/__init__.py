"""`gf.integrate`: ordinary differential equations, solved by loops that are compiled whole and differentiated."""

from graphflow.integrate.odeint import EventResult, odeint, odeint_event

__all__ = ["EventResult", "odeint", "odeint_event"]
