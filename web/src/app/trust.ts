/** The one Trusted Types policy of the page: workers come from our own assets, or not at all. */

interface PolicyFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown;
}

/** With the page's policy in force, starting a worker is the only sink for code that we use. */
export function trustOwnScripts(): void {
  const factory = (globalThis as { trustedTypes?: PolicyFactory }).trustedTypes;
  factory?.createPolicy("default", {
    createScriptURL(url) {
      const { origin, pathname } = new URL(url, location.href);
      const own = pathname.startsWith("/assets/") || import.meta.env.DEV;
      if (origin === location.origin && own) return url;
      throw new TypeError("scripts come from this page's own assets only");
    },
  });
}
