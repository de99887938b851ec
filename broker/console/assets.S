/* The page's files, as the Makefile has bundled them, in the program (asset.c knows them). */

.macro embed name, file
    .global console_\name
    .global console_\name\()_end
console_\name:
    .incbin "\file"
console_\name\()_end:
    .byte 0
.endm

.section .rodata
    embed index_html, index.html
    embed index_html_gz, index.html.gz
    embed app_js, app.js
    embed app_js_gz, app.js.gz
    embed app_css, app.css
    embed app_css_gz, app.css.gz
    embed icon_svg, icon.svg
    embed icon_svg_gz, icon.svg.gz

.section .note.GNU-stack, "", %progbits
