"use strict";
// Everything from the run is put in as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const overview = document.getElementById("overview");
  const detail = document.getElementById("detail");
  const filter = document.getElementById("filter");
  const rows = [...document.querySelectorAll("#matrix tbody tr")];
  const chips = [...document.querySelectorAll(".chip[data-verdict]")];
  const unexpected = document.getElementById("unexpected");
  const names = rows.map((row) => row.dataset.scenario);
  const title = document.title;
  let lastCell = null;

  const el = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== "") node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };

  // -- the matrix -------------------------------------------------------------------------------

  const cellOf = (server, name) => data.cells[`${server}/${name}`];
  const haystack = new Map(names.map((name) => {
    const about = data.scenarios[name];
    const reasons = data.servers.map((server) => cellOf(server, name).reason);
    return [name, [name, about.title, ...about.cites, ...reasons].join(" ").toLowerCase()];
  }));

  const applyFilter = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true")
      .map((chip) => chip.dataset.verdict);
    const odd = unexpected.getAttribute("aria-pressed") === "true";
    let shown = 0;
    for (const row of rows) {
      const cells = data.servers.map((server) => cellOf(server, row.dataset.scenario));
      const text = haystack.get(row.dataset.scenario);
      const ok = words.every((word) => text.includes(word)) &&
        (!wanted.length || cells.some((cell) => wanted.includes(cell.verdict))) &&
        (!odd || cells.some((cell) => !cell.expected));
      row.hidden = !ok;
      shown += ok ? 1 : 0;
    }
    document.getElementById("count").textContent = `${shown} of ${rows.length} scenarios`;
  };
  filter.addEventListener("input", applyFilter);
  for (const chip of [...chips, unexpected]) {
    chip.addEventListener("click", () => {
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      applyFilter();
    });
  }

  // -- a cell -----------------------------------------------------------------------------------

  // What stands below a packet: the server's calls, and what it logged before the next one.
  const below = (cell, at) => {
    const found = [];
    for (const [heading, text] of cell.trees?.[at] || []) {
      found.push(el("details", {class: "tree", open: opened.trees},
        el("summary", {}, heading), el("pre", {}, text)));
    }
    const lines = cell.lines?.[at];
    if (lines) {
      found.push(el("details", {class: "lines", open: opened.lines},
        el("summary", {}, lines.length === 1 ? "1 log line" : `${lines.length} log lines`),
        el("pre", {}, lines.join("\n"))));
    }
    return found;
  };

  const rungNode = (server, name, at) => {
    const cell = cellOf(server, name);
    const ladder = cell.ladder;
    const [ms, conn, bracket, colour, command, label, words, records, id, fromClient, frame] =
      ladder.rungs[at];
    const arrow = colour === "event" ? "╌" : fromClient ? "→" : "←";
    const what = el("div", {class: "what"});
    if (ladder.named) what.append(el("span", {class: "dim"}, `${conn} `));
    what.append(el("span", {class: "dim"}, bracket), `${arrow} `);
    what.append(el("b", {class: colour}, id === "" ? command : `${command} #${id}`), " ");
    if (label) what.append(el("b", {class: colour}, label), " ");
    what.append(words);
    for (const record of records) what.append(el("div", {class: "rec"}, record));
    what.append(...below(cell, at));
    const since = `lab logs ${server} --since-pdu ${data.run}/${server}/${name}:${frame}`;
    const time = el("div", {class: "ms", title: `frame ${frame}; click: ${since}`}, ms.toFixed(1));
    time.addEventListener("click", () => {
      document.getElementById("since").textContent = since;
    });
    return el("div", {class: "rung"}, time, what);
  };

  const SIGNS = {"same": ["", "equal"], "moved": ["~", "came in another order"],
    "differs": ["≠", "differs"], "left only": ["<", "only on the left"],
    "right only": [">", "only on the right"]};

  const pairNode = (server, name, diff) => {
    const box = el("div", {class: "pair ladder", id: "pair"});
    const early = [data.reference, server].map((each) => below(cellOf(each, name), -1));
    box.append(el("div", {class: "head"}), el("div", {class: "head"}, `${data.reference} (reference)`),
      el("div", {class: "head"}, server));
    if (early.some((nodes) => nodes.length)) {
      box.append(el("div", {class: "sign"}), el("div", {class: "left"}, ...early[0]),
        el("div", {class: "right"}, ...early[1]));
    }
    diff.rows.forEach(([kind, left, right], at) => {
      const css = kind === "same" ? "same" : kind === "moved" ? "moved" : "diff";
      const here = at === diff.first ? " here" : "";
      const [sign, title] = SIGNS[kind];
      box.append(
        el("div", {class: `sign ${css}${here}`, title}, at === diff.first ? `${sign}▶` : sign),
        el("div", {class: `left ${css}${here}${left < 0 ? " empty" : ""}`},
          left < 0 ? "" : rungNode(data.reference, name, left)),
        el("div", {class: `right ${css}${here}${right < 0 ? " empty" : ""}`},
          right < 0 ? "" : rungNode(server, name, right)));
    });
    return box;
  };

  const oneNode = (server, name) => {
    const cell = cellOf(server, name);
    const box = el("div", {class: "pair one ladder"}, el("div", {class: "head"}, server));
    const early = below(cell, -1);
    if (early.length) box.append(el("div", {}, ...early));
    cell.ladder.rungs.forEach((_, at) => box.append(el("div", {}, rungNode(server, name, at))));
    return box;
  };

  // -- what can be opened below the packets -----------------------------------------------------

  const opened = {trees: false, lines: false};
  const openAll = (what, open) => {
    opened[what] = open;
    const css = {trees: "tree", lines: "lines"}[what];
    for (const each of detail.querySelectorAll(`details.${css}`)) each.open = open;
    const box = document.getElementById(`open-${what}`);
    if (box) box.checked = open;
  };
  const openers = (server, name) => {
    const shown = cellOf(server, name).diff ? [server, data.reference] : [server];
    return [["trees", "call trees", "t"], ["lines", "log lines", "l"]]
      .filter(([what]) => shown.some((each) => cellOf(each, name)[what]))
      .map(([what, words, key]) => {
        const box = el("input", {type: "checkbox", id: `open-${what}`, "aria-keyshortcuts": key});
        box.checked = opened[what];
        box.addEventListener("change", () => openAll(what, box.checked));
        return el("label", {}, box, ` ${words} `, el("kbd", {}, key));
      });
  };

  const ladders = (server, name, cell) => {
    const parts = [el("h2", {}, "Packets")];
    const mine = cell.ladder;
    if (!mine) return [...parts, el("p", {class: "note"}, `No ladder: ${cell.missing}.`)];
    const folded = `{dir} = ${mine.directory}. Times in milliseconds; n1, n2, … tie request, ` +
      "interim, CANCEL and final response together.";
    const boxes = openers(server, name);
    if (cell.diff) {
      if (cell.diff.rule) {
        parts.push(el("p", {class: "first"}, el("b", {}, "First difference: "), cell.diff.says, " ",
          el("br"), el("b", {}, `${cell.diff.rule.section}: `), `${cell.diff.rule.says}.`));
        const box = el("input", {type: "checkbox", id: "hide-same"});
        box.addEventListener("change", () =>
          document.getElementById("pair").classList.toggle("hide-same", box.checked));
        boxes.push(el("label", {}, box, " only what differs"));
      } else {
        parts.push(el("p", {class: "note"}, `${cell.diff.says} (${data.reference} and ${server})`));
      }
    }
    if (boxes.length) parts.push(el("p", {class: "openers"}, ...boxes));
    parts.push(cell.diff ? pairNode(server, name, cell.diff) : oneNode(server, name));
    parts.push(el("p", {class: "note"}, folded));
    if (cell.traced) parts.push(el("p", {class: "note"}, `Call trees: ${cell.traced}`));
    if (mine.more) parts.push(el("p", {class: "note"}, `… and ${mine.more} PDUs more in ladder.txt.`));
    return parts;
  };

  const folded = (title, ...children) => el("details", {}, el("summary", {}, title), ...children);

  const observations = (cell) => {
    const lines = el("pre", {});
    cell.observations.forEach((line, at) => {
      lines.append(at === cell.decided ? el("span", {class: "decided"}, `${line}   ◀ decided`) : line, "\n");
    });
    if (cell.more) lines.append(`… and ${cell.more} more in observations.jsonl\n`);
    return folded(`Observations of the client (${cell.observations.length + cell.more})`, lines);
  };

  const evidence = (server, name, cell) => {
    const links = el("dd", {});
    if (cell.capture.name) {
      const href = cell.capture.href || `data:application/gzip;base64,${cell.capture.gz}`;
      links.append(el("a", {href, download: cell.capture.name, class: "capture"},
        `${cell.capture.name}`), " ");
    }
    for (const file of cell.files) {
      links.append(el("a", {href: file, class: "file"}, file.split("/").pop()), " ");
    }
    const copy = el("button", {type: "button"}, "copy");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(cell.reproduce);
        copy.textContent = "copied";
      } catch {
        copy.textContent = "select it and copy";
      }
    });
    const list = el("dl", {class: "facts"},
      el("dt", {}, "Reproduce"), el("dd", {class: "copy"}, el("code", {}, cell.reproduce), copy),
      el("dt", {}, "Log since a packet"),
      el("dd", {}, el("code", {id: "since"}, "click the time of a packet")),
      el("dt", {}, "Files"), links);
    const log = ([file, text]) => folded(`${file} of ${server}`, el("pre", {}, text || "(empty)"));
    const listed = Object.entries(cell.logs);
    const reports = listed.filter(([file]) => file === "crash.txt").map(log);
    const logs = listed.filter(([file]) => file !== "crash.txt").map(log);
    for (const report of reports) report.open = true;
    return [...reports, el("h2", {}, "Evidence"), list, observations(cell), ...logs];
  };

  const facts = (name, cell) => {
    const about = data.scenarios[name];
    const list = el("dl", {class: "facts"});
    const add = (title, ...value) => list.append(el("dt", {}, title), el("dd", {}, ...value));
    if (cell.reason) {
      add("Reason", cell.reason, ...(cell.link ? [" ", el("a", {href: cell.link, rel: "noreferrer"}, "link")] : []));
    }
    if (cell.observed.verdict && cell.observed.verdict !== cell.verdict) {
      add("Seen", `${cell.observed.verdict}: ${cell.observed.reason}`);
    }
    for (const crash of cell.crashes) {
      add("The kernel", el("b", {class: "error"}, crash.title), ` (${crash.known}) `,
        ...(crash.link ? [el("a", {href: crash.link, rel: "noreferrer"}, "link")] : []),
        el("div", {}, el("code", {}, crash.fingerprint)));
    }
    if (cell.findings.length) add("On the wire", ...cell.findings.map((text) => el("div", {}, text)));
    if (about.cites.length) add("Cites", about.cites.join(", "));
    add("Rests on", about.rests_on + (about.provisional ? " (provisional)" : ""));
    add("Took", `${cell.seconds.toFixed(3)} s`);
    return list;
  };

  const show = (server, name) => {
    const cell = cellOf(server, name);
    const nav = el("nav", {"aria-label": "Cells"}, el("a", {href: "#", id: "back"}, "← matrix"));
    for (const other of data.servers) {
      nav.append(el("a", {href: `#${other}/${name}`, class: other === server ? "here" : "",
        "aria-current": other === server ? "page" : ""}, other));
    }
    const badge = el("span", {class: `badge v-${cell.verdict.replaceAll(" ", "-")}`}, cell.verdict);
    detail.replaceChildren(nav,
      el("h2", {id: "cell-title"}, `${name} on ${server}: `, badge),
      el("p", {}, data.scenarios[name].title), facts(name, cell),
      ...ladders(server, name, cell), ...evidence(server, name, cell));
    overview.hidden = true;
    detail.hidden = false;
    document.title = `${name} on ${server}: ${cell.verdict}`;
    window.scrollTo(0, 0);
    detail.focus({preventScroll: true});
    lastCell = `#${server}/${name}`;
  };

  const back = () => {
    overview.hidden = false;
    detail.hidden = true;
    document.title = title;
    const cell = [...document.querySelectorAll("a.cell")].find((a) => a.hash === lastCell);
    if (cell) {
      cell.focus({preventScroll: true});
      cell.scrollIntoView({block: "center"});
    }
  };

  const route = () => {
    const [server, name] = decodeURIComponent(location.hash.slice(1)).split("/");
    if (name && cellOf(server, name)) show(server, name);
    else back();
  };
  window.addEventListener("hashchange", route);

  // -- keys and theme -----------------------------------------------------------------------------

  const step = (list, item, by) => list[(list.indexOf(item) + by + list.length) % list.length];
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = ["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName) &&
      event.target.type !== "checkbox";
    if (event.key === "/" && !typing && detail.hidden) {
      event.preventDefault();
      filter.focus();
    } else if (event.key === "Escape" && !detail.hidden) {
      location.hash = "";
    } else if (event.key === "Escape" && typing) {
      filter.value = "";
      applyFilter();
    } else if (!detail.hidden && !typing) {
      const [server, name] = lastCell.slice(1).split("/");
      const shown = names.filter((_, at) => !rows[at].hidden);
      const next = {ArrowLeft: () => [step(data.servers, server, -1), name],
        ArrowRight: () => [step(data.servers, server, 1), name]}[event.key];
      const other = {k: -1, j: 1}[event.key];
      if (event.key === "t") openAll("trees", !opened.trees);
      if (event.key === "l") openAll("lines", !opened.lines);
      if (next) location.hash = next().join("/");
      else if (other && shown.length) location.hash = `${server}/${step(shown, name, other)}`;
    }
  });
  document.getElementById("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  applyFilter();
  route();
})();
