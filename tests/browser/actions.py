"""Actions of a user on the playground."""

from collections.abc import Callable

from playwright.sync_api import Page

from deploy.local.supabase_auth import PASSWORD

EMAIL = "grace@example.com"
OpenPage = Callable[..., Page]


def sign_in(page: Page, email: str = EMAIL, password: str = PASSWORD) -> None:
    """Sign in with email and password."""
    page.get_by_label("Email", exact=True).fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


def ask(page: Page, question: str) -> None:
    """Type the question and press Enter."""
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
