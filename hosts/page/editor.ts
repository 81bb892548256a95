/** @file The editor of the reward function: CodeMirror with JavaScript, line numbers, and the fault marked where it is. */
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { bracketMatching, HighlightStyle, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import { Decoration, type DecorationSet, drawSelection, EditorView, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";

const mark = StateEffect.define<number | null>();

const faults = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(decorations, transaction) {
    decorations = decorations.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(mark)) continue;
      const { doc } = transaction.state;
      decorations =
        effect.value === null
          ? Decoration.none
          : Decoration.set([Decoration.line({ class: "cm-fault" }).range(doc.lineAt(effect.value).from)]);
    }
    return decorations;
  },
  provide: (field) => EditorView.decorations.from(field),
});

/** Colours of the page's style sheet, so that light and dark follow. */
const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.controlKeyword], color: "var(--s3)" },
  { tag: [tags.string, tags.regexp, tags.special(tags.string)], color: "var(--s2)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--s1)" },
  { tag: tags.comment, color: "var(--soft)" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "var(--s0)" },
]);

export interface Editor {
  text: string;
  /** Marks the line at this place; null: none. */
  mark(at: number | null): void;
}

/** @param label for those who do not see it */
export function makeEditor(parent: HTMLElement, label: string, text: string, changed: (text: string) => void): Editor {
  const view = new EditorView({
    parent,
    state: EditorState.create({
      doc: text,
      extensions: [
        lineNumbers(),
        history(),
        drawSelection(),
        indentOnInput(),
        bracketMatching(),
        javascript(),
        syntaxHighlighting(colours),
        faults,
        // Tab leaves the editor, as everywhere on the page.
        keymap.of([...defaultKeymap, ...historyKeymap]),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": label }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) changed(update.state.doc.toString());
        }),
      ],
    }),
  });
  return {
    get text() {
      return view.state.doc.toString();
    },
    set text(insert) {
      view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert } });
    },
    mark: (at) => view.dispatch({ effects: mark.of(at === null ? null : Math.min(at, view.state.doc.length)) }),
  };
}
