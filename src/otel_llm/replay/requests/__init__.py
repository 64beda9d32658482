"""A recorded request, and what can be made of it before it is sent again.

    instructions  where it tells the model how to behave, and putting something else there
    changes       another model, other parameters, and how little else is touched
    translate     the same request in another wire format, and what could not be carried over
    compose       all of these in their order: the body that goes out
    endpoint      where it goes          credentials   which key may go there
    curl          as a command or a small program that anybody can run
"""
