import{a,b,c,d}from"./shared-ZLHZRC4I.js";import"./shared-AMCJ2DYJ.js";import"./shared-6MJSZ6G6.js";export{d as css,b as cssCompletionSource,c as cssLanguage,a as defineCSSCompletionSource};
