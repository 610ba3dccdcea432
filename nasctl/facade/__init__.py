"""The library that `import nasctl` offers: searches with their results, and the loading of plug-ins by name.

The package stands above the engine, because the result of a search recommends a network and draws a front.
"""
