// Sorting, filtering, copying, the theme. Without it the page is complete, only still.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  document.documentElement.classList.add("scripted");

  // Theme: the system's until a person says otherwise.
  const root = document.documentElement, theme = $("theme"), system = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const label = () => { theme.textContent = dark() ? "Light" : "Dark"; };
  theme.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; label(); });
  system.addEventListener("change", label);
  label();

  // Table: a click on a head sorts by it, a second one turns the order round.
  const table = $("table");
  if (table) {
    const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
    const value = (row, at) => at ? Number(row.cells[at].dataset.v) : row.cells[0].textContent;
    const sort = (at) => {
      const first = at ? "descending" : "ascending";
      const order = heads[at].getAttribute("aria-sort") === first ? (at ? "ascending" : "descending") : first;
      const sign = order === "ascending" ? 1 : -1;
      const rows = [...body.rows].map((row) => [value(row, at), row]);
      rows.sort(([a], [b]) => sign * (at ? a - b : a.localeCompare(b, undefined, { numeric: true })));
      heads.forEach((head) => head.removeAttribute("aria-sort"));
      heads[at].setAttribute("aria-sort", order);
      body.append(...rows.map(([, row]) => row));
    };
    heads.forEach((head, at) => head.firstElementChild.addEventListener("click", () => sort(at)));
    const number = (n) => n.toLocaleString("en");
    $("filter").addEventListener("input", (event) => {
      const wanted = event.target.value.trim().toLowerCase();
      let matched = 0;
      for (const row of body.rows) {
        row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
        matched += !row.hidden;
      }
      $("matched").textContent = `${number(matched)} of ${number(body.rows.length)} sources`;
    });
  }

  // A link to a source opens its section.
  const arrive = () => {
    const target = location.hash && $(location.hash.slice(1)), box = target && target.closest("details");
    if (box) { box.open = true; target.scrollIntoView(); target.focus({ preventScroll: true }); }
  };
  addEventListener("hashchange", arrive);
  arrive();

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    const code = button.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
})();
