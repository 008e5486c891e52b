"""The names of OpenAI's hosted tools, and the parser of the setting that lists some of them. Pure."""

# OpenAI's hosted tools: https://platform.openai.com/docs/guides/tools
HOSTED_TOOLS = ("web_search", "file_search", "code_interpreter", "computer_use", "image_generation", "mcp")


def hosted_tools(text: str) -> frozenset[str]:
    """Names of hosted tools, separated by commas."""
    names = frozenset(name.strip() for name in text.split(",") if name.strip())
    if names - set(HOSTED_TOOLS):
        raise ValueError(f"must be a list of some of {', '.join(HOSTED_TOOLS)}")
    return names
