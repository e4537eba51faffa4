"use strict";
// Renews the parts of a page that are marked data-live, without a reload; without this script a page stays as it was.
(() => {
  const seconds = Number(document.documentElement.dataset.liveSeconds);
  const stale = document.getElementById("stale");
  const status = document.getElementById("live");
  const known = new Map();
  const said = new Map();
  let tag = "";
  let failures = 0;

  const parts = (root) => root.querySelectorAll("[data-live][id]");
  for (const part of parts(document)) {
    known.set(part.id, part.outerHTML);
    said.set(part.id, part.dataset.says || "");
  }

  function placeOf(part) {
    const focused = document.activeElement;
    if (!part.contains(focused) || focused === part) return null;
    return [...part.querySelectorAll("a, button, input, select, summary, [tabindex]")].indexOf(focused);
  }

  function replace(old, fresh) {
    const place = placeOf(old);
    const scrolls = [...old.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    old.replaceWith(fresh);
    fresh.querySelectorAll("details").forEach((one, number) => { if (number < open.length) one.open = open[number]; });
    fresh.querySelectorAll(".scroll").forEach((one, number) => { one.scrollLeft = scrolls[number] || 0; });
    if (place !== null && place >= 0) {
      const targets = fresh.querySelectorAll("a, button, input, select, summary, [tabindex]");
      if (targets[place]) targets[place].focus({ preventScroll: true });
    }
  }

  function take(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const news = [];
    for (const fresh of parts(page)) {
      const old = document.getElementById(fresh.id);
      if (!old || known.get(fresh.id) === fresh.outerHTML) continue;
      known.set(fresh.id, fresh.outerHTML);
      const words = fresh.dataset.says || "";
      if (words && words !== said.get(fresh.id)) news.push(words);
      said.set(fresh.id, words);
      replace(old, document.importNode(fresh, true));
    }
    if (news.length) status.textContent = news.join(" ");
  }

  async function renew() {
    if (document.hidden) return;
    try {
      const headers = tag ? { "If-None-Match": tag, "X-Live": "1" } : { "X-Live": "1" };
      const answer = await fetch(location.href, { headers, cache: "no-store", credentials: "same-origin" });
      if (answer.redirected) { // the session of a viewer has ended
        location.reload();
        return;
      }
      if (answer.status === 200) {
        tag = answer.headers.get("ETag") || "";
        take(await answer.text());
      }
      failures = answer.status < 500 ? 0 : failures + 1;
    } catch {
      failures += 1;
    }
    stale.hidden = failures < 2;
  }

  if (seconds > 0 && known.size > 1) { // more than the time in the footer
    setInterval(renew, seconds * 1000);
    document.addEventListener("visibilitychange", renew);
  }
})();
