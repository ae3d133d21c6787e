// The list of conversations.
import { byId, iconButton, make } from "./dom.js";

function renameInPlace(row, head, onRename) {
  const field = make("input", { "aria-label": "Name of the conversation", dir: "auto", maxlength: "200" });
  field.value = head.title;
  const before = [...row.childNodes];
  let open = true;
  const close = (keep) => {
    if (!open) return;
    open = false;
    row.replaceChildren(...before);
    if (keep && field.value.trim() && field.value.trim() !== head.title) onRename(head.id, field.value.trim());
  };
  field.addEventListener("blur", () => close(true));
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    event.preventDefault();
    event.stopPropagation();
    close(event.key === "Enter");
    row.querySelector(".open")?.focus();
  });
  row.replaceChildren(field);
  field.select();
}

/** `actions`: open(id), rename(id, title), remove(id), exportOne(id). */
export function showSidebar(heads, currentId, actions) {
  byId("conversations").replaceChildren(...heads.map((head) => {
    const isCurrent = head.id === currentId;
    const row = make("li", { class: isCurrent && "current" },
      make("button", { type: "button", class: "open", dir: "auto", title: head.title, "aria-current": isCurrent && "page",
                       onclick: () => actions.open(head.id), ondblclick: () => rename() }, head.title || "New chat"),
      iconButton("edit", "Rename", () => rename()),
      iconButton("export", "Export", () => actions.exportOne(head.id)),
      iconButton("delete", "Delete", () => actions.remove(head.id)));
    const rename = () => renameInPlace(row, head, actions.rename);
    return row;
  }));
}

/** On phones the list lies over the page. */
export function toggleSidebar(show) {
  const shown = document.body.classList.toggle("show-sidebar", show);
  byId("menu").setAttribute("aria-expanded", String(shown));
  if (shown) byId("new").focus();
}
