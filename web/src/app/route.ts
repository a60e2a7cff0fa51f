/** Where in the page we are: the address is the only state that outlives a reload. */
import { signal } from "@preact/signals";
import { type Link, type LinkResult, pathOf, readLink } from "../call/link";

export type Route = { readonly page: "home" } | { readonly page: "call"; readonly to: LinkResult };

function current(): Route {
  const { pathname, hash } = location;
  if (pathname === "/") return { page: "home" };
  return { page: "call", to: readLink(pathname, hash) };
}

export const route = signal<Route>(current());

const follow = () => {
  route.value = current();
};
addEventListener("popstate", follow);
addEventListener("hashchange", follow);

export function goHome(): void {
  history.pushState(null, "", "/");
  follow();
}

export function goTo(link: Link): void {
  history.pushState(null, "", pathOf(link));
  follow();
}
